#!/bin/sh
# load.sh DIRECTORY SECONDS SEED [tools]: the random load in a share, and with "tools" stress-ng and fio
# beside it. $LOAD is the load program. Its last line is "failures N"; the tools' files are removed.
directory=$1 seconds=$2 seed=$3 tools=$4
end=$(($(date +%s) + seconds))
failures=0

# Every one of them checks what it does. Each has its own directory.
STRESSORS="access chdir chmod chown copy-file dentry dir dirdeep dirmany fallocate fcntl filename flock \
fpunch fsize fstat handle hdd io iomix lease link lockf lockofd mknod mmapfork open readahead rename seek \
sendfile symlink sync-file touch utime xattr"
SIZES="--copy-file-bytes 128m --fallocate-bytes 32m --hdd-bytes 16m --iomix-bytes 16m --readahead-bytes 16m \
--seek-size 16m --sync-file-bytes 16m --dirdeep-inodes 2000"

run_stressors() {
  for stressor in $STRESSORS; do
    [ "$(date +%s)" -lt "$end" ] || return
    output=$(stress-ng "--$stressor" 1 $SIZES --verify --timeout "$1" --temp-path . 2>&1)
    status=$?
    # 3 and 4: this machine cannot run it.
    case $status in
      0) echo "stress-ng $stressor: passed" ;;
      3 | 4) echo "stress-ng $stressor: skipped" ;;
      *) failures=$((failures + 1)); echo "stress-ng $stressor: FAILED with $status: $output" ;;
    esac
  done
}

run_fio() {
  passes=0
  while :; do
    if ! output=$(fio --name=verify --filename=fio.data --size=48m --rw=randwrite --bsrange=512-128k \
      --verify=crc32c --verify_fatal=1 --do_verify=1 --ioengine=psync --end_fsync=1 --invalidate=1 \
      --randseed=$((seed + passes)) --runtime=60 2>&1); then
      failures=$((failures + 1))
      echo "fio: FAILED: $output"
      return
    fi
    passes=$((passes + 1))
    [ "$(date +%s)" -lt "$end" ] || break
  done
  echo "fio: $passes times 48 MiB written at random and verified"
}

mkdir "$directory/load" || exit 2
"$LOAD" run "$directory/load" -s "$seed" -t "$seconds" &
load=$!
if [ -n "$tools" ]; then
  mkdir "$directory/tools" && cd "$directory/tools" || exit 2
  # Three quarters of the time for the stressors.
  each=$((seconds * 3 / 4 / $(echo "$STRESSORS" | wc -w)))
  run_stressors $((each > 0 ? each : 1))
  run_fio
  cd / && rm -rf "$directory/tools" || failures=$((failures + 1))
fi
wait "$load" || failures=$((failures + 1))
sync
echo "failures $failures"
