/** The credentials of a bucket. */
export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

/** The connection settings of a bucket. */
export interface S3Connection {
  /** The URL of the service, without the bucket. */
  readonly endpoint: URL;
  /** The URL of the service as clients reach it. @default endpoint */
  readonly publicEndpoint?: URL | undefined;
  readonly region: string;
  readonly bucket: string;
  /** The prefix of every key. */
  readonly prefix: string;
  /** Whether the bucket is the first segment of the path, and not part of the host name. */
  readonly pathStyle: boolean;
  /** Called for every request, because credentials may expire. */
  readonly credentials: () => S3Credentials | Promise<S3Credentials>;
  /** Asks the service to encrypt objects: `AES256`, or `aws:kms` with a key. */
  readonly encryption?: { readonly algorithm: 'AES256' | 'aws:kms'; readonly keyId?: string | undefined } | undefined;
}

/** The timeouts of requests. */
export interface S3Timeouts {
  readonly connectMs: number;
  /** Until the head of the answer. */
  readonly answerMs: number;
  /** Without a byte in either direction. */
  readonly idleMs: number;
}

/** The timeouts of a registry. */
export const defaultTimeouts: S3Timeouts = { connectMs: 2000, answerMs: 30_000, idleMs: 60_000 };
