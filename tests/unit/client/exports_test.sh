#!/bin/sh
# exports_test.sh LIBRARY: every symbol that it offers is in namespace pmshelf, the public ones are there.
set -eu
names=$(nm -DC --defined-only "$1" | cut -d' ' -f3-)
strangers=$(printf '%s\n' "$names" | grep -v -E '^((typeinfo|typeinfo name|vtable|non-virtual thunk) (for|to) )?pmshelf::' || true)
[ -z "$strangers" ] || { printf 'offered, but not ours:\n%s\n' "$strangers"; exit 1; }
inner=$(printf '%s\n' "$names" | grep -E '^pmshelf::(client|wire|transport|media|v1)::' || true)
[ -z "$inner" ] || { printf 'offered, but not public:\n%s\n' "$inner"; exit 1; }
for name in 'pmshelf::Client::connect(' 'pmshelf::Region::write(' 'pmshelf::Shelf::put(' \
            'pmshelf::Mapping::persist(' 'pmshelf::Lock::unlock(' 'pmshelf::Error::to_string' \
            'pmshelf::code_name(' 'pmshelf::version('; do
  printf '%s\n' "$names" | grep -q -F "$name" || { echo "missing: $name"; exit 1; }
done
