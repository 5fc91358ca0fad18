#!/bin/sh
# Asks a connector for files by name, and prints where they are, one a line.
#
#   SERVER=http://127.0.0.1:8022 TOKEN=… getfiles.sh trace-results '*.csv'
set -eu
body=$(jq -n --arg glob "$2" '{source: "getfiles.sh", file_name_filter: $glob}')
reply=$(curl --silent --show-error --header "Authorization: Bearer $TOKEN" \
	--header 'Content-Type: application/json' --data "$body" "$SERVER/api/v1/connectors/$1/requests?wait=10m")
printf '%s\n' "$reply" | jq --raw-output 'select(.file_names) | .destination_directory_path as $to | .file_names[] | "\($to)/\(.)"'
printf '%s\n' "$reply" | jq --exit-status '.success' >/dev/null || {
	# A reply without success, or a problem: both say why.
	printf '%s\n' "$reply" | jq --raw-output '.description // .detail // ., (.waiting[]?, .failed[]? | "\(.name): \(.reason)")' >&2
	exit 3
}
