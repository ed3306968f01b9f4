"""What the helpers that use Stripe's own SDK share: their arguments, and a client that talks to the given server only."""

import argparse

import stripe


def parser(description: str) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--api-base", required=True, metavar="URL", help="such as http://127.0.0.1:18420")
    made.add_argument("--api-key", default="sk_test_12345", help="any key that begins with sk_ (default %(default)s)")
    return made


def client(options: argparse.Namespace) -> stripe.StripeClient:
    # Telemetry would leave a file in the home directory; a retry would hide a fault from the test.
    stripe.enable_telemetry = False
    return stripe.StripeClient(
        options.api_key, base_addresses={"api": options.api_base.rstrip("/")}, max_network_retries=0
    )
