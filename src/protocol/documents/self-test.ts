/** What arrived of a body that a client sent to find out what proxies let through. */
export interface SelfTestDocument {
  readonly received_bytes: number;
  /** The length that the headers announced; `null` for a chunked body. */
  readonly announced_bytes: number | null;
  /** In hexadecimal digits. */
  readonly sha256: string;
}
