"""The web console: pages for operators. A client needs a token (`TELEPHONY_API_TOKEN`, or one made by `telephony tokens
create`) or a single sign-on. Without TELEPHONY_API_TOKEN and PUBLIC_URL only this machine is served."""
