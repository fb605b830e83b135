"""Has a function that takes more than there is."""

from armada.modifiers import Request, Response


def modify_response(request: Request, response: Response) -> None:
    response.status = 200
