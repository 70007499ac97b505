"""Requests to declared sources: bounded in size and time, tried again where that helps, credentials kept to their origin."""
