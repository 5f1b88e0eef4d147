import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { RegistryError } from '../protocol/errors.js';

const algorithm = 'aes-256-gcm';
const ivBytes = 12;
const tagBytes = 16;
/** Positions are padded to this length so that a cursor does not reveal the length of a name. */
const positionChars = 512;
const maxCursorChars = 1024;

/**
 * Encrypts positions in lists, which clients return to get the next page. A page may end at a name that the client must not
 * learn. Cursors stay valid until the process ends.
 */
export class Cursors {
  readonly #key = randomBytes(32);

  /** Encrypts a position. */
  seal(position: string): string {
    const iv = randomBytes(ivBytes);
    const cipher = createCipheriv(algorithm, this.#key, iv);
    const sealed = Buffer.concat([cipher.update(position.padEnd(positionChars, '\0'), 'utf8'), cipher.final()]);
    return Buffer.concat([iv, cipher.getAuthTag(), sealed]).toString('base64url');
  }

  /** Decrypts a position. @throws RegistryError PAGINATION_NUMBER_INVALID for a cursor of another process. */
  open(cursor: string): string {
    try {
      const bytes = Buffer.from(cursor.slice(0, maxCursorChars), 'base64url');
      const decipher = createDecipheriv(algorithm, this.#key, bytes.subarray(0, ivBytes), { authTagLength: tagBytes });
      decipher.setAuthTag(bytes.subarray(ivBytes, ivBytes + tagBytes));
      const sealed = bytes.subarray(ivBytes + tagBytes);
      return Buffer.concat([decipher.update(sealed), decipher.final()])
        .toString('utf8')
        .replace(/\0+$/, '');
    } catch (cause) {
      const message = 'invalid cursor, or the registry was restarted: list again from the first page';
      throw new RegistryError('PAGINATION_NUMBER_INVALID', { message, cause });
    }
  }
}
