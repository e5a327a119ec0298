"""What a person must look at before it may go on: images whose pixels may show who the patient is."""
