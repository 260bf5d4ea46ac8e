"""``hsi-app models``: the weights at hand, whether they are whole, and how published ones join them."""

from __future__ import annotations

from pathlib import Path

import click

from hsi_app.files import to_json


@click.group(short_help="List, check and convert weights of networks.")
def models() -> None:
    """Weights of networks: what is at hand, and how to get more.

    They are looked for in HSI_MODELS_DIR, in the data folder of the user, and among those that ship.
    """


@models.command("list", short_help="List the weights at hand.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_weights(as_json: bool) -> None:
    """List the weights at hand."""
    from hsi_models.store import find_cards

    shelf = find_cards()
    if as_json:
        listed = [{**card.model_dump(mode="json"), "folder": str(card.folder)} for card in shelf.cards.values()]
        click.echo(to_json({"weights": listed, "broken": dict(shelf.broken)}))
        return
    from rich.console import Console
    from rich.table import Table

    from hsi_app.device import format_bytes

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("weights", "channels", "size", "what they are", "folder"):
        table.add_column(column, overflow="fold")
    for _, card in sorted(shelf.cards.items()):
        size = format_bytes(card.path.stat().st_size) if card.path.is_file() else "missing"
        table.add_row(card.id, str(card.bands or "any"), size, card.title, str(card.folder))
    for folder, reason in shelf.broken.items():
        table.add_row("-", "-", "-", f"broken: {reason}", folder)
    Console().print(table, markup=False)


@models.command(short_help="Show the card of weights.")
@click.argument("weights")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(weights: str, as_json: bool) -> None:
    """Show what WEIGHTS (a name or a folder) are, what they were trained on, and what they reach."""
    from hsi_app.weights import find_card

    card = find_card(weights)
    if as_json:
        click.echo(to_json({**card.model_dump(mode="json"), "folder": str(card.folder)}))
        return
    click.echo(f"{card.id}: {card.title}")
    facts = {
        "network": card.network, "channels": str(card.bands or "any"), "file": str(card.path),
        "SHA-256": card.sha256, "licence": card.licence, "recipe": card.recipe,
    }  # fmt: skip
    for name, text in facts.items():
        click.echo(f"  {name:12}{text}")
    for name, lines in (("data", card.data), ("references", card.references)):
        for line in lines:
            click.echo(f"  {name:12}{line}")
    for score in card.scores:
        click.echo(f"  score       {score.data}, {score.task}: {score.metric} {score.value:g}   ({score.command})")


@models.command(short_help="Compare weights with the sums on their cards.")
@click.argument("weights", nargs=-1)
def verify(weights: tuple[str, ...]) -> None:
    """Compare WEIGHTS (names or folders; all when none is given) with the sums on their cards."""
    from hsi_models.store import StoreError, find_cards
    from hsi_models.store import verify as compare

    from hsi_app.errors import WeightsError
    from hsi_app.weights import find_card

    shelf = find_cards()
    cards = [find_card(name) for name in weights] or list(shelf.cards.values())
    wrong = [] if weights else list(shelf.broken.values())
    for card in cards:
        try:
            compare(card)
        except StoreError as error:
            wrong.append(str(error))
        else:
            click.echo(f"{card.id}: as on its card")
    for line in wrong[:-1]:
        click.echo(line, err=True)
    if wrong:
        raise WeightsError(wrong[-1])


@models.command(short_help="Convert a published checkpoint.")
@click.argument("checkpoint", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--name", help="Name the weights get.  [default: that of the file]")
@click.option(
    "--to", type=click.Path(file_okay=False, path_type=Path),
    help="Folder that holds folders of weights.  [default: HSI_MODELS_DIR, or the data folder of the user]",
)  # fmt: skip
@click.option(
    "--clip", type=click.Path(file_okay=False, path_type=Path),
    help="Folder with a local copy of openai/clip-vit-base-patch32, for MP-HSIR: makes the text vectors of its tasks.",
)  # fmt: skip
def convert(checkpoint: Path, name: str | None, to: Path | None, clip: Path | None) -> None:
    """Convert a published CHECKPOINT (.pth, .ckpt) into weights of this program.

    Its tensors must fit their network one by one. Nothing in the file is run. Known: the SR3 network of ddpm-cd that
    HIR-Diff was published with (I190000_E97_gen.pth), and MP-HSIR (Natural_scene.ckpt, Remote_sensing.ckpt).
    """
    import re

    from hsi_models.convert import convert as converted
    from hsi_models.store import StoreError, own_folder

    from hsi_app.errors import ParameterError, WeightsError

    chosen = name or re.sub(r"[^a-z0-9._-]+", "-", checkpoint.stem.lower()).strip("-._")
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", chosen):
        raise ParameterError(f"'{chosen}' is no name for weights; use lower-case letters, digits, '-', '_' and '.'.")
    try:
        card = converted(
            checkpoint, (to or own_folder()) / chosen, clip=clip, tell=lambda line: click.echo(line, err=True)
        )
    except StoreError as error:
        raise WeightsError(str(error)) from error
    click.echo(card.folder)
    if card.bands == 3:
        click.echo(f"Use it with: hsi-app restore hirdiff --prior {card.id if to is None else card.folder}")


@models.command(short_help="Add text vectors to weights that need them.")
@click.argument("weights")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def clip(weights: str, folder: Path) -> None:
    """Add the text vectors of its tasks to an MP-HSIR network, WEIGHTS (a name or a folder).

    FOLDER is a local copy of openai/clip-vit-base-patch32; nothing is fetched.
    """
    from hsi_models.clip_text import TABLE_FILE, make_table, save_table
    from hsi_models.store import StoreError

    from hsi_app.errors import WeightsError
    from hsi_app.weights import find_card

    card = find_card(weights)
    try:
        save_table(card, make_table(card, folder))
    except StoreError as error:
        raise WeightsError(str(error)) from error
    click.echo(card.path.with_name(TABLE_FILE))
