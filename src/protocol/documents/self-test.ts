/** The received part of a body that a client sent to find out what proxies let through. */
export interface SelfTestDocument {
  readonly received_bytes: number;
  /** The length that the headers announced; `null` for a chunked body. */
  readonly announced_bytes: number | null;
  /** In hexadecimal digits. */
  readonly sha256: string;
  /** Milliseconds from the headers of the request to the end of its body. */
  readonly receive_ms: number;
  /** The client as the registry sees it, behind the proxies that it trusts. */
  readonly seen: {
    /** An IP address; empty on a Unix socket. */
    readonly address: string;
    /** The origin that the client uses: `https://registry.example`; `null` without a usable `Host`. */
    readonly origin: string | null;
    /** The path before `/v2` and `/api/v1`. */
    readonly prefix: string;
  };
}
