"""The web console: pages for operators. A client needs a token (`TELEPHONY_API_TOKEN`, or a token made by `telephony
tokens create`) or a single sign-on. If neither TELEPHONY_API_TOKEN nor PUBLIC_URL is set, only requests from this
machine are accepted.
"""
