/** The metrics of a registry, in the text format of Prometheus. */
export interface Metrics {
  /** The value of `Content-Type`. */
  readonly contentType: string;
  /** Returns the present values. */
  getText(): Promise<string>;
}
