import { startCephRgw } from './ceph-rgw.js';
import { startVersitygw } from './versitygw.js';
import type { S3Server } from './s3-server.js';

/** The server of this run: versitygw, or Ceph's RGW with `S3_SERVER=ceph` (Debian's radosgw, ceph-mon and ceph-osd). */
export const serverName = process.env['S3_SERVER'] ?? 'versitygw';

/** Starts the server of this run on an empty folder. @throws Error when it is not known. */
export function startS3Server(): Promise<S3Server> {
  if (serverName === 'versitygw') return startVersitygw();
  if (serverName === 'ceph') return startCephRgw();
  throw new Error(`S3_SERVER must be versitygw or ceph, not "${serverName}"`);
}
