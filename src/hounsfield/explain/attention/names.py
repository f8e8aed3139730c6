"""What an audit of attention asks about, by name: in sentences and in tables. It loads nothing."""

# What a classifier has no reason to look at, and what each is called in a sentence.
ZONES = {
    "text": "burned-in text",
    "marker": "a marker",
    "line": "a device-like line",
    "object": "a thing beside the body",
    "outside": "what lies outside of the body",
    "edge": "the edge of the image",
}
ZONE_TITLES = {
    "text": "Burned-in text",
    "marker": "Marker",
    "line": "Device-like line",
    "object": "Thing beside the body",
    "outside": "Outside of the body",
    "edge": "Edge of the image",
}
