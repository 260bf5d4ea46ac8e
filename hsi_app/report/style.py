"""The look of the report page; light and dark follow the reader's system."""

STYLE = """
:root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--ink:#111827;--soft:#5b6472;--line:#e3e6eb;
--accent:#0b6bcb;--accent-soft:#e8f1fc;--good:#15803d;--warn:#b45309;--warn-soft:#fff7e8;--check:#e9ecf1}
@media(prefers-color-scheme:dark){:root{--page:#0e1116;--card:#161b22;--ink:#e6eaf0;--soft:#98a3b3;--line:#2b323d;
--accent:#5aaefc;--accent-soft:#15263a;--good:#4ade80;--warn:#f5b04c;--warn-soft:#2a2113;--check:#222934}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,sans-serif;-webkit-text-size-adjust:100%}
main{max-width:1120px;margin:0 auto;padding:28px 20px 56px}
header .over{color:var(--accent);font-weight:600;font-size:13px;letter-spacing:.02em;margin:0}
h1{font-size:28px;line-height:1.2;margin:4px 0 6px;overflow-wrap:anywhere;letter-spacing:-.01em}
h2{font-size:18px;margin:36px 0 12px;letter-spacing:-.005em}
h3{font-size:14px;margin:0 0 8px;color:var(--soft);font-weight:600}
p{margin:0 0 10px}.soft{color:var(--soft)}
nav{display:flex;flex-wrap:wrap;gap:6px 16px;margin:14px 0 20px;font-size:14px}
a{color:var(--accent);text-decoration:none}a:hover{text-decoration:underline}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(160px,1fr));gap:12px}
.tile,.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px}
.tile b{display:block;font-size:22px;line-height:1.25;font-weight:650;font-variant-numeric:tabular-nums}
.tile span{color:var(--soft);font-size:13px}
.card+.card{margin-top:14px}
.pictures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(230px,100%),1fr));gap:14px}
figure{margin:0;min-width:0}
figcaption{color:var(--soft);font-size:13px;margin-top:6px}
.frame{position:relative;border-radius:6px;overflow:hidden;line-height:0;
background:repeating-conic-gradient(var(--check) 0 25%,transparent 0 50%) 0 0/14px 14px}
.frame img{width:100%;height:auto;display:block}.frame img.pixels{image-rendering:pixelated}
.pin{position:absolute;transform:translate(-50%,-50%);min-width:18px;height:18px;border-radius:9px;background:#fffd;
color:#111;border:1px solid #111a;font:600 11px/16px system-ui,sans-serif;text-align:center}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(440px,100%),1fr));gap:14px}
.charts img{width:100%;height:auto;display:block}
.legend{display:flex;align-items:center;gap:8px;font-size:12px;color:var(--soft);margin-top:8px;
font-variant-numeric:tabular-nums}
.ramp{flex:1;height:10px;border-radius:5px;max-width:280px;
background:linear-gradient(90deg,#053061,#4393c3,#d1e5f0,#f7f7f7,#fddbc7,#d6604d,#67001f)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px}
th,td{text-align:left;padding:7px 14px 7px 0;border-bottom:1px solid var(--line);vertical-align:top}
tr:last-child>td,tr:last-child>th{border-bottom:0}
th{font-weight:600;color:var(--soft);font-size:13px}
td.number,th.number{text-align:right;font-variant-numeric:tabular-nums}
td{overflow-wrap:anywhere}td.key{color:var(--soft);width:16%;min-width:9em;overflow-wrap:normal}
td.value{width:24%;min-width:9em}
.tag{display:inline-block;border-radius:5px;padding:0 7px;font-size:12px;background:var(--check);color:var(--soft)}
.tag.set{background:var(--accent-soft);color:var(--accent)}
.better{color:var(--good);font-weight:600}.worse{color:var(--warn);font-weight:600}
.note{background:var(--warn-soft);border-color:transparent;border-left:4px solid var(--warn)}
ul{margin:0;padding-left:20px}li+li{margin-top:6px}
pre{margin:0;overflow-x:auto;font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
footer{margin-top:36px;color:var(--soft);font-size:13px}
@media(max-width:600px){main{padding:18px 14px 40px}h1{font-size:23px}th,td{padding-right:10px}}
@media print{body{background:#fff}.card,.tile{break-inside:avoid}nav{display:none}}
"""
