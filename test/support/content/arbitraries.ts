import * as fc from 'fast-check';

/** Words of the registry's own paths, each of which is a valid image name. */
const pathWords = ['blobs', 'manifests', 'tags', 'list', 'uploads', 'referrers', 'v2', 'images', 'api', 'v1'];

const letters = 'abcdefghijklmnopqrstuvwxyz0123456789';
const separators = fc.oneof(
  fc.constantFrom('.', '_', '__', '-'),
  fc.integer({ min: 1, max: 4 }).map((n) => '-'.repeat(n)),
);

function stringOf(alphabet: string, constraints: { minLength: number; maxLength: number }): fc.Arbitrary<string> {
  return fc.string({ unit: fc.constantFrom(...alphabet.split('')), ...constraints });
}

const word = stringOf(letters, { minLength: 1, maxLength: 6 });

/** A path component of a name, by the grammar of the specification. */
export const component: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(...pathWords),
  fc
    .tuple(word, fc.array(fc.tuple(separators, word), { maxLength: 3 }))
    .map(([first, rest]) => first + rest.map(([separator, more]) => separator + more).join('')),
);

/** A name by the grammar of the specification, often with words of the registry's own paths. */
export const name: fc.Arbitrary<string> = fc
  .array(component, { minLength: 1, maxLength: 6 })
  .map((parts) => parts.join('/'))
  .filter(({ length }) => length <= 255);

/** A tag. */
export const tag: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(...pathWords, 'latest', '_', 'sha256-44136fa3', '0'),
  fc
    .tuple(
      stringOf(`${letters}ABCXYZ_`, { minLength: 1, maxLength: 1 }),
      stringOf(`${letters}ABCXYZ_.-`, { minLength: 0, maxLength: 127 }),
    )
    .map(([first, rest]) => first + rest),
);

const hex = (length: number): fc.Arbitrary<string> =>
  stringOf('0123456789abcdef', { minLength: length, maxLength: length });

/** A sha256 or sha512 digest. */
export const digest: fc.Arbitrary<string> = fc.oneof(
  hex(64).map((text) => `sha256:${text}`),
  hex(128).map((text) => `sha512:${text}`),
);

/** The id of an upload session. */
export const session: fc.Arbitrary<string> = fc.uuid();
