#!/bin/sh
# Usage: sh binary.sh URL KEY, for example sh binary.sh http://localhost:8080/predictions/model ...
set -eu
json='{"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP32", "parameters": {"binary_data_size": 16}}], "outputs": [{"name": "y", "parameters": {"binary_data": true}}]}'

# The JSON part, then 1, 2, 3, 4 as 32-bit floats, the lowest byte first (octal: 077 is 3f, 200 is 80).
{
    printf '%s' "$json"
    printf '\000\000\200\077\000\000\000\100\000\000\100\100\000\000\200\100'
} > request.bin

curl "$1" --silent --show-error --fail-with-body --max-time 300 \
    --header "Authorization: Bearer $2" \
    --header "Content-Type: application/octet-stream" \
    --header "Inference-Header-Content-Length: ${#json}" \
    --data-binary @request.bin --dump-header headers.txt --output reply.bin

size=$(awk 'tolower($1) == "inference-header-content-length:" { print $2 + 0 }' headers.txt)
head -c "$size" reply.bin                                # what the outputs are
echo
tail -c "+$((size + 1))" reply.bin | od -A d -t f4       # their values
