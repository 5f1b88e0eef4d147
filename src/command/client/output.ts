import { formatDocument, formatTable, printable, type Column, type FormatOptions } from './format.js';
import type { Document } from './api-client.js';
import type { CommandIo, OutputStream } from '../command-io.js';

/** Prints the results of a command: documents as JSON lines with `--json`, otherwise aligned text for people. */
export class Output {
  readonly #io: CommandIo;
  readonly #isJson: boolean;

  constructor(io: CommandIo, isJson: boolean) {
    this.#io = io;
    this.#isJson = isJson;
  }

  /** Whether the results are printed as JSON. */
  get isJson(): boolean {
    return this.#isJson;
  }

  /** Prints a list: as JSON, each document as it arrives; as text, when its last document has arrived. */
  async list(
    documents: AsyncIterable<Document> | Iterable<Document>,
    columns: readonly Column[],
    empty: string,
  ): Promise<void> {
    if (this.#isJson) {
      for await (const document of documents) this.#writeJson(document);
      return;
    }
    const rows: Document[] = [];
    for await (const document of documents) rows.push(document);
    if (rows.length === 0) this.note(empty);
    else this.#writeLines(this.#io.stdout, formatTable(rows, columns, this.#formatOptions(this.#io.stdout)));
  }

  /** Prints documents as they arrive, each in a line without titles. */
  async stream(documents: AsyncIterable<Document>, columns: readonly Column[]): Promise<void> {
    for await (const document of documents) {
      if (this.#isJson) this.#writeJson(document);
      else
        this.#writeLines(
          this.#io.stdout,
          formatTable([document], columns, this.#formatOptions(this.#io.stdout)).slice(1),
        );
    }
  }

  /** Prints a document. */
  document(document: Document, columns: readonly Column[]): void {
    if (this.#isJson) this.#writeJson(document);
    else this.#writeDocument(this.#io.stdout, document, columns);
  }

  /** Prints an empty line between parts of a text. */
  section(): void {
    if (!this.#isJson) this.#io.stdout.write('\n');
  }

  /** Prints what a command is about to do to stderr, because stdout is for its result. */
  preview(title: string, document: Document, columns: readonly Column[]): void {
    this.#io.stderr.write(`${title}\n`);
    this.#writeDocument(this.#io.stderr, document, columns);
  }

  /** Prints the result of a change: the document as JSON, otherwise the sentence. */
  done(sentence: string, document: Document = {}): void {
    if (this.#isJson) this.#writeJson(document);
    else this.#io.stdout.write(`${printable(sentence)}\n`);
  }

  /** Prints a remark to stderr, unless the output is JSON. */
  note(text: string): void {
    if (!this.#isJson) this.#io.stderr.write(`${printable(text)}\n`);
  }

  #writeJson(document: Document): void {
    this.#io.stdout.write(`${JSON.stringify(document)}\n`);
  }

  #writeDocument(stream: OutputStream, document: Document, columns: readonly Column[]): void {
    this.#writeLines(stream, formatDocument(document, columns, this.#formatOptions(stream)));
  }

  #writeLines(stream: OutputStream, lines: readonly string[]): void {
    if (lines.length > 0) stream.write(`${lines.join('\n')}\n`);
  }

  #formatOptions({ isTTY }: OutputStream): FormatOptions {
    return { now: this.#io.now(), relative: isTTY === true };
  }
}
