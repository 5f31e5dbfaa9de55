#!/bin/sh
# Installs auditship as a service, or a newer version over it.
#
#   sudo ./install.sh ../../target/release/auditship
#   DESTDIR=/tmp/root ./install.sh BINARY      into another root, as packages and tests want it
#
# It enables and starts nothing, and it leaves an existing configuration as it is.
set -eu

die() { echo "install.sh: $1" >&2; exit 1; }

[ $# -eq 1 ] || die 'one argument: the auditship binary'
binary=$1
[ -f "$binary" ] && [ -x "$binary" ] || die "no program: $binary"
here=$(cd "$(dirname "$0")" && pwd)
root=${DESTDIR:-}

# By way of a new file: one that is running cannot be written, and one that is half written must not be started.
place() { # mode, from, to
    mkdir -p "$(dirname "$root$3")"
    install -m "$1" "$2" "$root$3.new"
    mv -f "$root$3.new" "$root$3"
    echo "installed $3"
}

place 0755 "$binary" /usr/bin/auditship
place 0644 "$here/auditship.service" /usr/lib/systemd/system/auditship.service
place 0644 "$here/sysusers.d/auditship.conf" /usr/lib/sysusers.d/auditship.conf
place 0644 "$here/tmpfiles.d/auditship.conf" /usr/lib/tmpfiles.d/auditship.conf
place 0644 "$here/README.md" /usr/share/doc/auditship/README.md
for drop_in in "$here"/drop-ins/*.conf; do
    place 0644 "$drop_in" "/usr/share/doc/auditship/drop-ins/$(basename "$drop_in")"
done

if [ -e "$root/etc/auditship/auditship.toml" ]; then
    echo 'kept      /etc/auditship/auditship.toml'
else
    place 0644 "$here/auditship.toml" /etc/auditship/auditship.toml
fi

# The user and the folders of another root are for whoever boots it.
if [ -n "$root" ]; then
    exit 0
fi
systemd-sysusers auditship.conf
systemd-tmpfiles --create auditship.conf
systemctl daemon-reload
cat <<'END'
Next: the destination in /etc/auditship/auditship.toml, its token in /etc/credstore/auditship.loki (mode 0600), then
  systemctl enable --now auditship        the first time
  systemctl restart auditship             after an upgrade
END
