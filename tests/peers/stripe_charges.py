"""Lists every charge a server holds, by Stripe's own SDK: one line of JSON each, all pages.

    .peers/venv/bin/python tests/peers/stripe_charges.py --api-base http://127.0.0.1:18420 [--order ord-000123]

A declined charge is listed too, with status "failed".
"""

import json

from stripe_client import client, parser

PAGE = 100


def main() -> None:
    arguments = parser("Lists every charge as lines of JSON")
    arguments.add_argument("--order", help="only charges whose metadata has this `order`")
    options = arguments.parse_args()
    for charge in client(options).v1.charges.list(params={"limit": PAGE}).auto_paging_iter():
        metadata = charge.metadata.to_dict() if charge.metadata else {}
        if options.order is not None and metadata.get("order") != options.order:
            continue
        shown = {name: charge[name] for name in ("id", "amount", "amount_refunded", "currency", "status", "description")}
        print(json.dumps({**shown, "metadata": metadata}))


if __name__ == "__main__":
    main()
