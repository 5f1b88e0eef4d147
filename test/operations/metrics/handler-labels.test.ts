import { expect, test } from 'vitest';
import { handlerLabelOf } from '../../../src/operations/metrics/handler-labels.js';
import { endpoints } from '../../../src/protocol/tables/endpoints.js';

const labels: Readonly<Record<string, string>> = {
  'version.check': 'base',
  'token.get': 'token',
  'token.post': 'token',
  'catalog.list': 'catalog',
  'upload.start': 'blob_upload',
  'upload.status': 'blob_upload_chunk',
  'upload.append': 'blob_upload_chunk',
  'upload.complete': 'blob_upload_chunk',
  'upload.cancel': 'blob_upload_chunk',
  'blob.stat': 'blob',
  'blob.get': 'blob',
  'blob.delete': 'blob',
  'manifest.stat': 'manifest',
  'manifest.get': 'manifest',
  'manifest.put': 'manifest',
  'manifest.delete': 'manifest',
  'tag.list': 'tags',
  'referrer.list': 'referrers',
};
const ops = new Set<string>(endpoints.map(({ op }) => op));

test.each(endpoints)('the operation $op has a handler label', ({ op }) => {
  expect(handlerLabelOf(op, ops)).toBe(labels[op]);
});

test.each([
  ['job.list', 'management'],
  ['unmatched', 'unmatched'],
])('the operation %s has the handler label %s', (op, label) => {
  expect(handlerLabelOf(op, ops)).toBe(label);
});
