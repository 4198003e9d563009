#!/bin/sh
# tree-manifest DIRECTORY: one line for each thing in a tree, with all that a copy must preserve.
# The times of directories and symbolic links are left out: tar sets them before it fills them, or never.
set -e
cd "$1"
find . -type f -print0 | sort -z | xargs -0 sha256sum
find . -type f -print0 | sort -z | xargs -0 stat -c '%n: %a %u:%g links=%h size=%s mtime=%Y'
find . -type d -print0 | sort -z | xargs -0 stat -c '%n: directory %a %u:%g'
find . ! -type f ! -type d -print0 | sort -z | xargs -0 stat -c '%N: %F %a %u:%g links=%h %t,%T'
