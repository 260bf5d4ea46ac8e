"""Who may work on an output folder, and how workers see that their driver has gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_batches import asked, done, environment, scenes

from hsi_app.batch.driver import opened
from hsi_app.batch.items import HIDDEN
from hsi_app.batch.lease import Shard, ask_to_stop, held
from hsi_app.errors import OutputError
from hsi_app.locks import is_locked, lock_file

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX locks")

# Holds a folder until it is killed, after it said what its lease is.
_HOLDER = """
import sys, time
from pathlib import Path
from hsi_app.batch.lease import Shard, held
with held(Path(sys.argv[1]), Shard()) as lease:
    print(lease.lock, lease.token, lease.secret, sep="\\t", flush=True)
    time.sleep(600)
"""


def test_a_second_batch_is_refused_in_one_line(tmp_path: Path) -> None:
    batch = asked(tmp_path / "out", scenes(tmp_path / "in", 1))
    with (
        opened(tmp_path / "out", Shard()),
        pytest.raises(OutputError, match="in use by another batch; wait for it, or choose another") as caught,
    ):
        done(batch)
    assert "\n" not in str(caught.value)
    assert done(batch).count("done") == 1


def test_shards_go_side_by_side_but_each_once(tmp_path: Path) -> None:
    with held(tmp_path, Shard(1, 3)), held(tmp_path, Shard(2, 3)) as second:
        assert not second.is_over
        with pytest.raises(OutputError, match="in use"), held(tmp_path, Shard(2, 3)):
            pass
        with pytest.raises(OutputError, match="in use"), held(tmp_path, Shard()):
            pass
        assert not second.is_over
    with held(tmp_path, Shard()), pytest.raises(OutputError, match="in use"), held(tmp_path, Shard(1, 3)):
        pass


def test_a_refused_batch_leaves_the_lease_of_the_first(tmp_path: Path) -> None:
    with held(tmp_path, Shard()) as lease:
        with pytest.raises(OutputError), held(tmp_path, Shard()):
            pass
        assert not lease.is_over


def test_a_lease_ends_with_its_batch(tmp_path: Path) -> None:
    with held(tmp_path, Shard()) as lease:
        assert not lease.is_over
    assert lease.is_over
    assert not Path(lease.token).exists()


def test_a_lease_ends_when_asked_to_stop(tmp_path: Path) -> None:
    with held(tmp_path, Shard()) as lease:
        ask_to_stop(lease)
        assert lease.is_over
        ask_to_stop(lease)


def test_a_lease_ends_when_another_driver_follows(tmp_path: Path) -> None:
    with held(tmp_path, Shard()) as first:
        pass
    with held(tmp_path, Shard()) as second:
        assert first.is_over
        assert not second.is_over


def test_a_lease_ends_when_the_driver_is_killed(tmp_path: Path) -> None:
    from hsi_app.batch.lease import Lease

    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment()
    ) as holder:
        assert holder.stdout is not None
        lease = Lease(*holder.stdout.readline().strip().split("\t"))
        try:
            assert not lease.is_over
            with pytest.raises(OutputError, match="in use"), held(tmp_path, Shard()):
                pass
        finally:
            os.kill(holder.pid, signal.SIGKILL)
    # Its token still lies there; its lock does not.
    assert Path(lease.token).read_text() == lease.secret
    assert lease.is_over
    with held(tmp_path, Shard()) as follower:
        assert lease.is_over
        assert not follower.is_over


def test_looking_at_a_lock_makes_and_takes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_locked(path)
    assert not path.exists()
    handle = lock_file(path)
    assert handle is not None
    assert is_locked(path)
    with pytest.raises(BlockingIOError):
        lock_file(path)
    handle.close()
    assert not is_locked(path)
    shared = [lock_file(path, shared=True) for _ in range(2)]
    assert not is_locked(path)
    with pytest.raises(BlockingIOError):
        lock_file(path)
    for one in shared:
        assert one is not None
        one.close()


def test_a_hidden_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / HIDDEN).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="is a link"):
        done(asked(tmp_path / "out", scenes(tmp_path / "in", 1)))
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_file_in_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputError, match="cannot be used"):
        done(asked(tmp_path / "out", scenes(tmp_path / "in", 1)))
    assert (tmp_path / "out").read_text() == "mine"
