/** The credentials of the server. */
export const credentials = { accessKeyId: 'AKTEST', secretAccessKey: 'SKTEST' };

/** A running S3 server. */
export interface S3Server {
  readonly endpoint: URL;
  stop(): Promise<void>;
}
