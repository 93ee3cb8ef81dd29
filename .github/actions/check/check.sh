#!/usr/bin/env bash
# What the action does: validate unless a run is given, check, and tell GitHub. Its inputs are INPUT_* variables.
set -fuo pipefail

tell() { printf '%s=%s\n' "$1" "${2//[$'\r\n']/ }" >> "${GITHUB_OUTPUT:-/dev/null}"; }
stop() { # exit code
  tell passed false
  tell exit-code "$1"
  exit "$1"
}

run=$INPUT_RUN
if [ -z "$run" ]; then
  if [ -z "$INPUT_METHOD" ]; then
    echo "::error title=rlvr-bench check::the action needs \`method\` or \`run\`"
    stop 2
  fi
  events=$(mktemp)
  rlvr-bench validate --method "$INPUT_METHOD" --suite "$INPUT_SUITE" --runs "$INPUT_RUNS" --json > "$events"
  code=$?
  run=$(python3 -c 'import json, sys
for line in open(sys.argv[1], encoding="utf-8"):
    event = json.loads(line)
    if event.get("event") == "plan":
        print(event["run"])' "$events")
  rm -f "$events"
  if [ "$code" -ne 0 ] && [ "$code" -ne 3 ]; then # 3: some stages failed, which the check will tell
    echo "::error title=rlvr-bench check::rlvr-bench validate ended with exit code $code; its log says why"
    stop "$code"
  fi
fi

if [ -z "$run" ] || [ "${run#-}" != "$run" ]; then
  echo "::error title=rlvr-bench check::there is no run to check"
  stop 5
fi

options=(--baseline "$INPUT_BASELINE" --minimum-drop "$INPUT_MINIMUM_DROP")
for verdict in $INPUT_FAIL_ON; do options+=(--fail-on "$verdict"); done

if [ -n "$INPUT_JUNIT" ]; then
  junit=$(mktemp)
  rlvr-bench check "${options[@]}" --format junit -- "$run" > "$junit" 2> /dev/null
  if [ -s "$junit" ]; then
    mkdir -p -- "$(dirname -- "$INPUT_JUNIT")" && cp -- "$junit" "$INPUT_JUNIT"
  fi
  rm -f "$junit"
fi
rlvr-bench check "${options[@]}" --format github -- "$run"
code=$?
verdict=$(rlvr-bench check "${options[@]}" --format json -- "$run" 2> /dev/null | python3 -c 'import json, sys
text = sys.stdin.read()
print(json.loads(text)["verdict"]["word"] if text else "")')
tell run "$run"
tell report "$run/report/report.md"
tell verdict "$verdict"
if [ "$code" -eq 0 ] && [ -n "$verdict" ]; then
  tell passed true
  tell exit-code 0
  exit 0
fi
if [ -z "$verdict" ]; then
  echo "::error title=rlvr-bench check::rlvr-bench check could not compare (exit code $code); its message is above"
fi
[ "$code" -eq 0 ] && code=5
stop "$code"
