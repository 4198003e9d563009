#!/bin/sh
# make-odd-files DIRECTORY: what source trees contain besides plain files, and some things they do not.
set -e
umask 022
mkdir "$1"
cd "$1"

echo 'set-uid' >set-uid && chmod 4755 set-uid
echo 'set-gid' >set-gid && chown 0:50 set-gid && chmod 2750 set-gid
echo 'nobody may' >locked && chmod 000 locked
mkdir sticky && chmod 1777 sticky
mkdir inherits && chown 0:50 inherits && chmod 2775 inherits
echo 'of alice' >alice && chown 1000:1000 alice && chmod 640 alice
echo 'of nobody known' >stranger && chown 123456:654321 stranger

echo 'one file' >first-name
ln first-name second-name
ln first-name sticky/third-name
ln -s first-name link
ln -s no/such/file dangling
ln -s . loop
ln -s "$(printf '%0200d' 7)" long-target
mkfifo fifo
mknod null c 1 3

: >empty
echo 'blanks' >'  two  blanks '
printf 'line feed' >"$(printf 'line\nfeed')"
printf 'latin-1' >"$(printf 'caf\351')"
echo 'long' >"$(printf '%0250d' 1)"
mkdir -p a/b/c/d/e/f/g/h/i/j && echo 'deep' >a/b/c/d/e/f/g/h/i/j/file
touch -d '2001-02-03 04:05:06' old
dd if=/dev/urandom of=odd-size bs=1234567 count=1 status=none
