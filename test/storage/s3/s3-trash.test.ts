import { expect, it } from 'vitest';
import { S3Error } from '../../../src/storage/s3/client/s3-errors.js';
import { S3Trash } from '../../../src/storage/s3/s3-trash.js';
import type { StoredObject } from '../../../src/ports/metadata/object-ledger.js';

/** Empties a trash with these objects. The service refuses to end the upload `refused`. */
async function empty(
  objects: readonly StoredObject[],
  check = async (): Promise<undefined> => undefined,
  deleted: string[] = [],
) {
  const kept: string[] = [];
  const errors: unknown[] = [];
  let isEmptied = false;
  const trash = new S3Trash({
    bucket: {
      abortUpload: async (key, uploadId) => {
        if (uploadId === 'refused') throw new S3Error(`DELETE ${key}`, 403, 'AccessDenied', '');
        if (uploadId === 'broken') throw new Error('connection lost');
      },
      delete: async (key) => void deleted.push(key),
      deleteAll: async (keys) => {
        deleted.push(...keys);
        return new Map();
      },
    },
    ledger: {
      emptyTrash: async (_due, remove) => {
        if (isEmptied) return 0;
        isEmptied = true;
        kept.push(...(await remove(objects)));
        return objects.length;
      },
    },
    marker: { check },
    now: () => 0,
    onError: (error) => errors.push(error),
  });
  await trash.empty();
  return { deleted, kept, errors };
}

it('an upload that the service refuses to end waits in the trash, and other objects are deleted', async () => {
  const { deleted, kept, errors } = await empty([
    { key: 'a', uploadId: 'refused' },
    { key: 'b', uploadId: 'open' },
    { key: 'c' },
  ]);
  expect({ deleted, kept }).toEqual({ deleted: ['b', 'c'], kept: ['a'] });
  expect(errors).toMatchObject([{ status: 403 }]);
});

it('a trash with nothing but refused uploads sends no empty request', async () => {
  expect(await empty([{ key: 'a', uploadId: 'refused' }])).toMatchObject({ deleted: [], kept: ['a'] });
});

it('a broken connection keeps everything in the trash', async () => {
  await expect(empty([{ key: 'a', uploadId: 'broken' }, { key: 'b' }])).rejects.toThrow('connection lost');
});

it('a bucket that belongs to another index keeps everything', async () => {
  const deleted: string[] = [];
  const check = (): Promise<undefined> => Promise.reject(new Error('another index'));
  await expect(empty([{ key: 'a' }], check, deleted)).rejects.toThrow('another index');
  expect(deleted).toEqual([]);
});
