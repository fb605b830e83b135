"""Makes every quote famous: what the browser gets is not what the site has sent.

`config_proxy.modifiers` names this module, and says for which URLs it is asked and of which it gets the bodies. It runs in an
instance of its own, beside the script: what it keeps here, the script does not see.
"""

from armada.modifiers import Request, Response

FAME = 1_000_000


def modify_request(request: Request) -> None:
    """Asks for what is there now: what the browser remembers from before is not to be seen."""
    request.headers["cache-control"] = "no-cache"


def modify_response(response: Response) -> None:
    if response.status != 200 or response.text is None:
        return
    if response.url.endswith("/hearts"):
        response.text = str(int(response.text) + FAME)
    elif "text/html" in response.headers.get("content-type", ""):
        response.text = response.text.replace("</blockquote>", " ★</blockquote>", 1)
        response.headers["x-fame"] = str(FAME)
