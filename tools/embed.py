# SPDX-License-Identifier: Apache-2.0
"""embed.py FILE NAME: prints C that defines NAME, the bytes of FILE, and NAME_size."""
import sys

path, name = sys.argv[1:]
with open(path, 'rb') as file:
    data = file.read()
print('/* Made by tools/embed.py. */')
print('#include "observe/ebpf_object.h"')
print(f'const unsigned char {name}[] __attribute__((aligned(8))) = {{')
for at in range(0, len(data), 24):
    print('\t' + ','.join(map(str, data[at:at + 24])) + ',')
print('};')
print(f'const size_t {name}_size = sizeof({name});')
