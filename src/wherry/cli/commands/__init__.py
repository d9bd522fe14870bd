"""One module per verb, or per few that are alike; `wherry.cli.program` has the table of them."""
