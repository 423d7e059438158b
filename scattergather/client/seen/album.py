"""Several things that were displayed, as one: for a front end that has one place for all of them.

Each is shown by its richest form that stands in HTML without a front end's help. Who shows no HTML
(a PDF) gets the last one's other forms.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from typing import Any

from scattergather.client.seen.display import Line
from scattergather.wire.values.bundle import Bundle

_IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")


def of_parts(parts: Sequence[Line]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The data and metadata of one display that shows lines and bundles, in their order.

    There is a bundle among them.
    """
    last = [part for part in parts if isinstance(part, Bundle)][-1]
    text = "\n".join(part if isinstance(part, str) else part.text for part in parts)
    html = "".join(map(_html, parts))
    return last.data | {"text/plain": text, "text/html": html}, last.metadata


def _html(part: Line) -> str:
    if isinstance(part, str):
        return f"<pre>{escape(part)}</pre>"
    data = part.data
    if "text/html" in data:
        return f"<div>{data['text/html']}</div>"
    if "image/svg+xml" in data:
        return f"<div>{data['image/svg+xml']}</div>"
    for mime in _IMAGES:
        if mime in data:
            value = data[mime]
            coded = base64.b64encode(value).decode() if isinstance(value, bytes) else value
            what = escape(part.text[:200], quote=True)
            source = f"data:{mime};base64,{escape(coded, quote=True)}"
            return f"<div><img alt='{what}' src='{source}'></div>"
    return f"<pre>{escape(part.text)}</pre>"
