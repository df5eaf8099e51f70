# The last part of docs/tutorial.md: its commands under systemd, as somebody types them who may use sudo.
. ./prelude.sh

useradd --create-home ada
mkdir /home/ada/orders
cp shop.sh price.py orders.toml /home/ada/orders
sed -i 's/^processes = 2/processes = 8/' /home/ada/orders/orders.toml # as the page has done before
chown -R ada: /home/ada
printf '#!/bin/sh\nexec "$@"\n' >/usr/local/bin/sudo
chmod 755 /usr/local/bin/sudo
export HOME=/home/ada USER=ada
commands=$PWD/commands.sh
cd /home/ada/orders
. "$commands"
