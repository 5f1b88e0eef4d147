/** The `handler` label of operations of `/v2`, as distribution names its routes. Some are our own. */
const handlers: Readonly<Record<string, string>> = {
  version: 'base',
  token: 'token',
  catalog: 'catalog',
  tag: 'tags',
  manifest: 'manifest',
  blob: 'blob',
  referrer: 'referrers',
};

/**
 * Returns the label of an operation. The values are bounded: operations of the management API share one, and so do requests
 * that no operation matches.
 * @param protocolOps the operations of `/v2`.
 */
export function handlerLabelOf(op: string, protocolOps: ReadonlySet<string>): string {
  if (op === 'unmatched') return 'unmatched';
  if (!protocolOps.has(op)) return 'management';
  const noun = op.split('.', 1)[0] ?? op;
  if (noun === 'upload') return op === 'upload.start' ? 'blob_upload' : 'blob_upload_chunk';
  return handlers[noun] ?? noun;
}
