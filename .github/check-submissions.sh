#!/usr/bin/env bash
# Checks the submissions that a pull request adds or changes, with the program of the base branch: BASE and HEAD are commits.
# Submitted files are data here. Nothing of them is run, and files outside leaderboard/submissions are never taken.
set -fuo pipefail

where=leaderboard/submissions
gone=$(git diff --name-only --diff-filter=D "$BASE" "$HEAD" -- "$where" | cut -d/ -f3 | sort -u)
for name in $gone; do
  if ! git cat-file -e "$HEAD:$where/$name/entry.json" 2> /dev/null; then
    echo "::error title=leaderboard::a submission was removed: rows are withdrawn in leaderboard/status.json, never deleted"
    exit 1
  fi
done
changed=$(git diff --name-only --no-renames --diff-filter=AMT "$BASE" "$HEAD" -- "$where" | cut -d/ -f3 | sort -u)
if [ -z "$changed" ]; then
  echo "no submission was added or changed"
  exit 0
fi
submitted=$(mktemp -d)
trap 'rm -rf "$submitted"' EXIT
git archive "$HEAD" leaderboard | tar -x -C "$submitted" --no-same-owner --no-same-permissions
folders=()
while IFS= read -r name; do
  if [[ ! $name =~ ^[a-z0-9][a-z0-9._-]*$ ]]; then
    echo "::error title=leaderboard::a submission's folder has an odd name"
    exit 1
  fi
  folders+=("$submitted/$where/$name")
done <<< "$changed"
rlvr-bench leaderboard check "${folders[@]}" || exit
# the site as it would be, with what the maintainers say of its rows
rlvr-bench leaderboard build --submissions "$submitted/$where" --status "$submitted/leaderboard/status.json" --into "$submitted/site"
