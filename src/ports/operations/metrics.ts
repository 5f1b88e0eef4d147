/** The metrics of a registry, in the text format of Prometheus. */
export interface Metrics {
  /** The value of `Content-Type`. */
  readonly contentType: string;
  /** Returns the present values. */
  getText(): Promise<string>;
  /** Returns the values of the process, which its host may report itself. Measuring starts with the first call. */
  getProcessText(): Promise<string>;
}
