#!/bin/sh
# Installs site files for all users of this host: ./install.sh FILE... (as root, on each host on which jobs are submitted).
# With DESTDIR they go below that directory, for images and packages.
set -eu
folder=${DESTDIR:-}/etc/psij_parsl/sites
psij-run site check "$@"
(umask 022 && mkdir -p "$folder")
for file; do
  install -m 644 "$file" "$folder/"
done
ls -l "$folder"
