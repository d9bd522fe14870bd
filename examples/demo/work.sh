# Work for a container: three of the host's programs, a file in memory, and a proof of the result.
set -eu
cd /tmp
seq 1 2000000 > numbers
gzip -k numbers
before=$(sha256sum < numbers)
after=$(gzip -dc numbers.gz | sha256sum)
[ "$before" = "$after" ]
echo "$(stat -c %s numbers) bytes compressed to $(stat -c %s numbers.gz), and unpacked again"
echo "sha256 before and after: ${before%% *}"
