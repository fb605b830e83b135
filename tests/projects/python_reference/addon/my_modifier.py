def shorten(text):
    return text if len(text) < 20 else text[:17] + "..."
