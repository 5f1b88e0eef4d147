import type { UploadedPart } from '../../../ports/metadata/object-ledger.js';

/**
 * Returns the text of the first element with this name. The S3 documents that we read have no attributes that matter
 * and no repeated elements.
 */
export function findText(xml: string, name: string): string | undefined {
  const text = new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml)?.[1];
  return text?.replace(/&(quot|apos|lt|gt|amp|#34|#39);/g, (_all, entity: string) => entities[entity] ?? '');
}

/** Returns the content of all elements with this name, which do not contain each other. */
export function findAll(xml: string, name: string): readonly string[] {
  return [...xml.matchAll(new RegExp(`<${name}>(.*?)</${name}>`, 'gs'))].map(([, content = '']) => content);
}

const entities: Readonly<Record<string, string>> = {
  quot: '"',
  apos: "'",
  lt: '<',
  gt: '>',
  amp: '&',
  '#34': '"',
  '#39': "'",
};

/** Builds the body of CompleteMultipartUpload. */
export function buildPartList(parts: readonly UploadedPart[]): Buffer {
  const items = parts.map(
    ({ number, etag }) => `<Part><PartNumber>${number}</PartNumber><ETag>${escapeText(etag)}</ETag></Part>`,
  );
  return Buffer.from(`<CompleteMultipartUpload>${items.join('')}</CompleteMultipartUpload>`);
}

/** Builds the body of DeleteObjects, which reports only failures. */
export function buildDeletion(keys: readonly string[]): Buffer {
  const items = keys.map((key) => `<Object><Key>${escapeText(key)}</Key></Object>`);
  return Buffer.from(`<Delete><Quiet>true</Quiet>${items.join('')}</Delete>`);
}

function escapeText(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;');
}
