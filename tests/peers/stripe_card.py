"""Makes a payment method by Stripe's own SDK and prints its id, for a charge's `source`.

    .peers/venv/bin/python tests/peers/stripe_card.py --api-base http://127.0.0.1:18420 good|declined
"""

from stripe_client import client, parser

# The second may be saved and is declined when it is charged (https://docs.stripe.com/testing#declined-payments).
NUMBERS = {"good": "4242424242424242", "declined": "4000000000000341"}


def main() -> None:
    arguments = parser("Makes a payment method and prints its id")
    arguments.add_argument("card", choices=NUMBERS)
    options = arguments.parse_args()
    card = {"number": NUMBERS[options.card], "exp_month": 12, "exp_year": 2030, "cvc": "123"}
    print(client(options).v1.payment_methods.create(params={"type": "card", "card": card}).id)


if __name__ == "__main__":
    main()
