import { ApiError, toApiError } from './api-error.ts';

/** The progress of an upload, in bytes. */
export interface UploadProgress {
  readonly sent: number;
  readonly total: number;
}

/** Watches an upload. */
export interface UploadOptions {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: UploadProgress) => void;
  /** Called once the whole body is sent, before the answer. */
  readonly onSent?: () => void;
}

/** Uploads a body, and returns the document of the answer. `fetch` does not report progress. @throws ApiError */
export function upload<T>(url: string, body: Blob, type: string, options: UploadOptions): Promise<T> {
  const { signal, onProgress, onSent } = options;
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('POST', url);
    request.responseType = 'text';
    request.setRequestHeader('Accept', 'application/json');
    request.setRequestHeader('Content-Type', type);
    request.setRequestHeader('X-Artifactapi-Client', 'ui');
    request.upload.addEventListener('progress', ({ loaded, total }) => onProgress({ sent: loaded, total }));
    request.upload.addEventListener('load', () => onSent?.());
    request.addEventListener('load', () => {
      const { status, responseText } = request;
      if (status < 300) resolve(parse(responseText) as T);
      else reject(toApiError(status, parse(responseText), request.getResponseHeader('X-Request-Id')));
    });
    request.addEventListener('error', () =>
      reject(new ApiError(0, 'UNREACHABLE', 'the connection broke before the registry answered')),
    );
    request.addEventListener('abort', () => reject(new ApiError(0, 'CANCELLED', 'the upload was cancelled')));
    signal.addEventListener('abort', () => request.abort());
    request.send(body);
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
