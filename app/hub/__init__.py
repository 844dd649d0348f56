"""The hub of models: search, a model's page, its headers and its files.

Requests are made with httpx2, the library beneath huggingface_hub, and not with
huggingface_hub itself: that one restarts a download that was cut off from its first byte, does
not check what arrived, reads the endpoint once at import, and stores tokens of its own accord.
What it knows of the hub's answers is kept to by the tests, which run it against our local hub.
"""
