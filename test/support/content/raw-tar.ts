/**
 * Returns a tar header and its bytes, in a form that no tool needs to have written. `size` is the size in the header,
 * and the checksum is correct.
 */
export function rawEntry(type: string, name: string, bytes: Buffer | string = '', size: number | string = -1): Buffer {
  const content = Buffer.from(bytes);
  const header = Buffer.alloc(512);
  const field = typeof size === 'string' ? size : (size < 0 ? content.length : size).toString(8).padStart(11, '0');
  header.write(name.slice(0, 100));
  header.write('0000644\0', 100);
  header.write(field, 124, 12, 'latin1');
  header.write(`${' '.repeat(8)}${type}`, 148);
  header.write('ustar\x0000', 257);
  const sum = header.reduce((all, byte) => all + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return Buffer.concat([header, content, Buffer.alloc((512 - (content.length % 512)) % 512)]);
}

/** Returns a record of an extended header, whose length includes itself. */
export function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length;
  while (`${length}${rest}`.length > length) length++;
  return `${length}${rest}`;
}
