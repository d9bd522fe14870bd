"""What could stand at the end of a command line that is being typed.

`scripts` has what each shell loads; it asks `wherry __complete -- WORD...`, whose last word is the
one being typed. `candidates` finds out what that word is, `values` what it may be. An answer has a
candidate on each line, with a tab and an explanation; `:files` and `:directories` stand for what
the shell knows better.
"""
