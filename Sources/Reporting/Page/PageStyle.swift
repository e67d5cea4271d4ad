/// The styles of a page, without anything that HTML or XML would take for markup.
enum PageStyle {
    private static let letters = "system-ui,-apple-system,Segoe UI,Roboto,Noto Sans,Helvetica Neue,Arial,sans-serif"

    /// What pictures need, also where one stands by itself. The dark scheme is for screens: paper is white.
    static let pictures = """
        \(Palette.light.css)@media screen and (prefers-color-scheme:dark){
        \(Palette.dark.css)}
        svg{background:var(--paper);font:\(Int(Picture.letterSize))px \(letters);font-variant-numeric:tabular-nums}
        svg text{fill:var(--ink)}
        svg .muted{fill:var(--muted)}
        svg .end{text-anchor:end}
        svg .middle,.cells text{text-anchor:middle}
        .cells text{font-size:12px}
        .cells .none rect{fill:var(--panel)}
        .cells .none path{stroke:var(--rule)}
        .cells rect{stroke:var(--paper)}
        .cells .small{font-size:11px}
        .cells g:hover rect{stroke:var(--ink);stroke-width:2}
        .frame{fill:none;stroke:var(--rule)}
        .rule{fill:none;stroke:var(--rule)}
        .grid{fill:none;stroke:var(--grid)}
        \(Palette.light.things.indices.map { ".t\($0){--thing:var(--t\($0))}" }.joined())
        .fill{fill:var(--thing)}
        g:hover .fill{stroke:var(--ink)}
        .curve{fill:none;stroke:var(--thing);stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
        .round1 .curve{stroke-dasharray:7 4}
        .round2 .curve{stroke-dasharray:2 4}
        .round3 .curve{stroke-dasharray:9 4 2 4}
        .round1 rect,.round2 rect,.round3 rect{fill-opacity:.55;stroke:var(--thing)}
        .curves:hover g{opacity:.25}
        .curves g:hover{opacity:1}
        .halo{fill:none;stroke:var(--paper);stroke-width:3.5}
        .whisker{fill:none;stroke:var(--ink);stroke-width:1.25}
        .range{fill:none;stroke:var(--thing);stroke-width:1.5}
        .name{paint-order:stroke;stroke:var(--paper);stroke-width:3px}

        """

    /// The rest of a page.
    static let page = """
        *{box-sizing:border-box}
        html{-webkit-text-size-adjust:100%}
        body{margin:0 auto;max-width:58rem;padding:0 1.5rem 4rem;background:var(--paper);color:var(--ink);font:16px/1.5 \(letters)}
        header{margin:0 0 2rem;padding-top:1rem;border-top:6px solid var(--accent)}
        h1{margin:.5rem 0 1rem;font-size:2rem;line-height:1.15;letter-spacing:-.02em;overflow-wrap:anywhere}
        h2{margin:2.5rem 0 .75rem;font-size:1.3rem;line-height:1.25;overflow-wrap:anywhere}
        h3{margin:1.5rem 0 .5rem;font-size:1rem}
        .summary p{margin:.5rem 0;max-width:46rem;font-size:1.2rem;line-height:1.45;overflow-wrap:anywhere}
        .lines{margin:1rem 0;white-space:pre-wrap;overflow-wrap:anywhere}
        .note{margin:.5rem 0;color:var(--muted);font-size:.875rem}
        .warnings{margin:1.5rem 0;padding:.75rem 1rem .75rem 2rem;border-left:4px solid var(--accent);background:var(--panel);overflow-wrap:anywhere}
        figure{margin:2.5rem 0;padding-top:.6rem;border-top:1px solid var(--rule)}
        figcaption{margin-bottom:.9rem;font-weight:650;font-size:1.1rem;line-height:1.3;overflow-wrap:anywhere}
        .plot{overflow-x:auto}
        .plot svg{display:block;max-width:100%;height:auto}
        .rows{margin:1rem 0;max-width:100%;max-height:34rem;overflow:auto}
        table{border-collapse:collapse;font-size:.8125rem;font-variant-numeric:tabular-nums}
        th,td{padding:.28rem .7rem;text-align:left;vertical-align:top;white-space:pre;border-bottom:1px solid var(--grid)}
        .long{min-width:18rem;max-width:30rem;white-space:pre-wrap;overflow-wrap:anywhere}
        th:first-child,td:first-child{position:sticky;left:0;padding-left:0;background:var(--paper)}
        th{position:sticky;top:0;background:var(--paper);color:var(--muted);font-weight:600;vertical-align:bottom;border-bottom:1px solid var(--rule)}
        th:first-child{z-index:1}
        tfoot td{font-weight:650;border-top:1px solid var(--rule);border-bottom:0}
        .right{text-align:right}
        pre{margin:.5rem 0 1rem;padding:.75rem 1rem;max-height:30rem;overflow:auto;background:var(--panel);font:13px/1.5 ui-monospace,Menlo,Consolas,monospace;white-space:pre-wrap;overflow-wrap:anywhere}
        summary{cursor:pointer;color:var(--muted)}
        :focus-visible{outline:2px solid var(--accent);outline-offset:2px}
        footer{margin-top:3.5rem;border-top:1px solid var(--rule)}
        @media (max-width:40rem){body{padding:0 1rem 3rem}h1{font-size:1.6rem}.summary p{font-size:1.08rem}th:first-child,td:first-child{min-width:0;max-width:40vw;white-space:pre-wrap;overflow-wrap:break-word}}
        @media print{
        @page{margin:16mm}
        body{max-width:none;padding:0;font-size:10pt}
        .plot,.rows,pre{overflow:visible;max-height:none}
        .plot svg{min-width:0!important}
        th,th:first-child,td:first-child{position:static}
        table{font-size:8pt}
        th,td,.long{min-width:0;max-width:none;padding:.15rem .3rem;white-space:pre-wrap;overflow-wrap:anywhere}
        td.right{white-space:pre}
        .wide{font-size:6pt}
        .wide th,.wide td{padding:.1rem;white-space:pre-wrap}
        figcaption,h1,h2,h3{break-after:avoid}
        svg,tr{break-inside:avoid}
        *{-webkit-print-color-adjust:exact;print-color-adjust:exact}
        }

        """
}
