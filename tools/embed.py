# SPDX-License-Identifier: Apache-2.0
"""embed.py FILE NAME: prints FILE as a C array called NAME."""
import sys

with open(sys.argv[1], 'rb') as file:
    data = file.read()
print('/* Made by tools/embed.py. */')
print(f'static const unsigned char {sys.argv[2]}[] __attribute__((aligned(8))) = {{')
for at in range(0, len(data), 24):
    print('\t' + ','.join(map(str, data[at:at + 24])) + ',')
print('};')
