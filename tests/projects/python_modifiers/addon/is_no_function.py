"""Names a function, and has something else there."""

modify_request = "a function"
