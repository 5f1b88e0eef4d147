/** Express 4 under another name. The tests use only what has the same types in Express 5. */
declare module 'express4' {
  import express from 'express';
  export default express;
}
