#!/usr/bin/env bash
# Makes the secrets of deploy/compose.yaml, each once, in deploy/secrets (or the folder given):
# random, in a folder that only you may enter, and never in git.
set -euo pipefail
folder=${1:-"$(dirname "$0")/secrets"}
umask 077
mkdir -p "$folder/webhooks"
chmod 0700 "$folder"  # the umask is for new folders only
users=(ingest embedder fp-miner retriever evaluator review webhooks label-studio bridge operator)
# In hexadecimal digits: base64 for URLs may begin with a hyphen, and then be read as an option.
for name in mongodb_root_password "${users[@]/#/mongodb_password_}" qdrant_api_key grafana_password label_studio_webhook_secret; do
  [ -s "$folder/$name" ] || head -c 24 /dev/urandom | od -An -v -tx1 | tr -d ' \n' > "$folder/$name"
done
# Label Studio's own, from its account page: empty until you write it there.
[ -e "$folder/label_studio_token" ] || : > "$folder/label_studio_token"
# CVAT's, where deploy/compose.cvat.yaml is used.
[ -e "$folder/cvat_token" ] || : > "$folder/cvat_token"
# What members of the replica set know each other by; MongoDB wants base64 here.
[ -s "$folder/mongodb_keyfile" ] || head -c 500 /dev/urandom | base64 | tr -d '\n' > "$folder/mongodb_keyfile"
# The containers' user is none of the host's.
chmod 0755 "$folder/webhooks"
find "$folder" -type f -exec chmod 0644 {} +
echo "secrets are in $folder"
